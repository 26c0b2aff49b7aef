"""The page *Audience Manager* in Airflow's UI: its server side. Loaded by the API server alone."""
