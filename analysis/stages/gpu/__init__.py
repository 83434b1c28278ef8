"""What the GPU itself does: its arithmetic, its memory, how full its processors are, what its kernels are called."""
