"""DiffuseKronA: A Parameter Efficient Fine-tuning Method for Personalized Diffusion Model."""

CARD = {
    "slug": "diffusekrona",
    "title": (
        "DiffuseKronA: A Parameter Efficient Fine-tuning Method for Personalized Diffusion Model"
    ),
    "authors": ("S. Marjit", "H. Singh", "N. Mathur", "S. Paul", "C.-M. Yu", "P.-Y. Chen"),
    "year": 2024,
    "arxiv": "2402.17412",
    "venue": "WACV 2025, pages 3529-3538",
    "areas": ("adapt",),
    "mechanism": "adapt/krona",
    "summary": (
        "Personalises an image generator from a few pictures with Kronecker-product updates "
        "that store fewer values than small LoRA."
    ),
    "official_code": ("IBM/DiffuseKronA",),
    "licence": None,
}
