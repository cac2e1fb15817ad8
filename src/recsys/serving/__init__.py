"""Answer queries from the live release; the environment has no platform library.

Imported by the Seldon component only. Nothing is imported here: monitoring and the tests
read `recsys.serving.requests` without loading the model runtime.
"""
