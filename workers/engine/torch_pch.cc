// Exists so that the precompiled torch.h has a library to belong to.
