"""Where runs keep a network among their artifacts; read without torch."""

CHECKPOINT_FOLDER = "checkpoint"
WEIGHTS_FILE = f"{CHECKPOINT_FOLDER}/model.safetensors"
SPEC_FILE = f"{CHECKPOINT_FOLDER}/spec.json"
MASK_FILE = "mask/mask.safetensors"
MASK_SUMMARY_FILE = "mask/summary.json"
