"""Language models as sensors: a contract, backends, embedding models for their texts, and the sensor."""
