"""How fast is taskq, beside the queues people choose today? See README.md in this folder."""
