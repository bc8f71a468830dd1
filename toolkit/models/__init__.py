"""The contract of models, and what several plugins build on: semantic models, losses, encoders, prompts."""
