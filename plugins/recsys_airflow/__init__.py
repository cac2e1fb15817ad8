"""What Airflow needs to run the stages: an operator and the house's task defaults.

No domain rules live here; a stage is the same with and without Airflow.
"""
