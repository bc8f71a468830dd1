"""The contract of models, and components that several plugins share: semantic models, losses, encoders,
prompts."""
