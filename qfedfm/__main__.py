"""``python -m qfedfm`` is ``qfedfm``."""

from qfedfm.cli.main import main

if __name__ == "__main__":
    main()
