"""What is needed of SSH: its public keys, and signatures that an ssh-agent makes for us and for nobody else."""
