"""Pictures whose causes are known: what `benchmarks/planted.py` is made of."""
