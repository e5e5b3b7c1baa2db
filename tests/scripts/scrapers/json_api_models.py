from pydantic import BaseModel, Field, ValidationError


class Item(BaseModel):
    id: int
    name: str = Field(min_length=1)
    tags: list[str] = []


print(Item.model_validate_json('{"id": "7", "name": "x", "tags": ["a"]}'))
try:
    Item.model_validate({"id": "seven", "name": ""})
except ValidationError as error:
    for problem in error.errors():
        print(problem["loc"], problem["type"])
