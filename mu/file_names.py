"""Where runs keep a network among their artifacts; read without torch."""

WEIGHTS_FILE = "checkpoint/model.safetensors"
SPEC_FILE = "checkpoint/spec.json"
MASK_FILE = "mask/mask.safetensors"
MASK_SUMMARY_FILE = "mask/summary.json"
