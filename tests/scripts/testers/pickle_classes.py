import copy
import pickle
from dataclasses import dataclass, field


@dataclass(order=True)
class Case:
    name: str
    steps: list = field(default_factory=list, compare=False)


case = Case("login", ["open", "type"])
again = pickle.loads(pickle.dumps(case))
print(again == case, again, type(again) is Case, copy.deepcopy(case).steps is case.steps)
print(Case.__module__, Case.__qualname__)
