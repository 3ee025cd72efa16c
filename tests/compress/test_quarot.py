from parsimony.testing.quantizer_contract import QuantizerContract


class TestQuaRot(QuantizerContract):
    specs = ("quarot:w4a4", "quarot-online+gptq:w4a4")
    blocks_only = False
