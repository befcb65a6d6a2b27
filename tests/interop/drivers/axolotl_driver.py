"""``python axolotl_driver.py CONFIG OUT``: train as ``axolotl train CONFIG`` does; write what was seen to OUT."""

from __future__ import annotations

import sys


def main(config: str, out: str) -> None:
    from axolotl.cli.config import load_cfg
    from axolotl.common.datasets import load_datasets
    from axolotl.core.trainers.base import AxolotlTrainer
    from axolotl.integrations.base import PluginManager
    from axolotl.train import train
    from recording import Recorder

    cfg = load_cfg(config)
    of_a_plugin = PluginManager.get_instance().get_trainer_cls(cfg) if cfg.plugins else None
    recorder = Recorder()
    recorder.watch(of_a_plugin or AxolotlTrainer)
    train(cfg=cfg, dataset_meta=load_datasets(cfg=cfg))
    recorder.write(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
