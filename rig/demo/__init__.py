"""The main job on embedded defaults: tags, bridge, broker and subscriber as real processes, judged by the truth."""
