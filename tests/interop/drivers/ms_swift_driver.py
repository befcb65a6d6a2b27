"""``python ms_swift_driver.py CONFIG OUT``: train as ``swift sft CONFIG`` does; write what was seen to OUT."""

from __future__ import annotations

import sys


def main(config: str, out: str) -> None:
    from recording import Recorder
    from swift.cli.main import parse_yaml_args
    from swift.pipelines import sft_main
    from swift.trainers import Seq2SeqTrainer

    recorder = Recorder()
    recorder.watch(Seq2SeqTrainer)
    arguments = [config]
    parse_yaml_args(arguments)
    sft_main(arguments)
    recorder.write(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
