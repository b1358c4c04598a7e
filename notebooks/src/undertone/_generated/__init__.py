"""Code generated from undertone.proto by generate.py. Do not edit."""
