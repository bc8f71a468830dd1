"""The contract of models, and components shared by several plugins: semantic models, losses, encoders,
prompts."""
