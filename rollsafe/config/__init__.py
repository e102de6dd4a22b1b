"""The inventory and the playbook: YAML with line numbers, checked whole, resolved into the model. No network."""
