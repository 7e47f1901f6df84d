"""avae data pack | info"""

from avae.cli.data_info import describe
from avae.cli.data_pack import pack_source
from avae.cli.flags.data import Info, Pack


def run(options: Pack | Info) -> int:
    """Pack a data set, or describe one."""
    if isinstance(options, Pack):
        pack_source(options)
    else:
        describe(options)
    return 0
