"""What Keras's file formats share: names, structures, and which weights are whose."""
