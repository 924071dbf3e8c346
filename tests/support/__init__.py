"""What tests share: small real models, and fakes of outside worlds behind the seams of the real ones."""
