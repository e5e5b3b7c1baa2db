"""The routes of the REST API, a file for each of its nouns. What they do is the gateway's business."""
