from parsimony.adapt.methods.krona import KronaConfig
from parsimony.testing.adapter_contract import AdapterContract


class TestTuner(AdapterContract):
    config = KronaConfig
