"""Recording: of this Linux machine's page allocator, of a VM's memory on its host, and of a guest booted for it."""
