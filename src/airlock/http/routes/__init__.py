"""The routes of the REST API, one file for each of its nouns. They leave the work to the gateway."""
