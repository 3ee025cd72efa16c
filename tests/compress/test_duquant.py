from parsimony.testing.quantizer_contract import QuantizerContract


class TestDuQuant(QuantizerContract):
    specs = ("duquant:w4a4", "duquant+gptq:w8a8")
