"""What a model reads: text as token ids, sound as spectrograms. ``inputs.of`` gives the kind."""

from parsimony.core.inputs.base import Inputs, frames_of, of

__all__ = ["Inputs", "frames_of", "of"]
