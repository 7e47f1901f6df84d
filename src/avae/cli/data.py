"""avae data pack | info"""

from avae.errors import UserError, did_you_mean

HELP = """\
usage: avae data pack SOURCE DEST [flags]    pack a data set into one array
       avae data info PATH [flags]           describe a data set, and draw a contact sheet

examples:
  avae data pack photos/ packed/photos-64 --size 64
  avae data info packed/photos-64
  avae train folder --data packed/photos-64

avae data pack --help and avae data info --help list the flags."""


def run(arguments: list[str]) -> int:
    """Pack a data set, or describe one."""
    verb, *flags = arguments or ["--help"]
    if verb in ("-h", "--help"):
        print(HELP)
        return 0
    # Imported here: they import torch, which help does not need.
    from avae.cli.data_info import describe
    from avae.cli.data_pack import pack_source

    verbs = {"pack": pack_source, "info": describe}
    if verb not in verbs:
        raise UserError(f"no verb 'data {verb}'{did_you_mean(verb, verbs)}; see avae data --help")
    verbs[verb](flags)
    return 0
