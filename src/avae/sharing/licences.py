"""The licences that the model hub knows, by their names there."""

from avae.errors import UserError, did_you_mean

COMMON = ("apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0")
"""Licences that most models have; messages list them."""

_TEXT = """
afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m
bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0
cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0
cdla-sharing-1.0 creativeml-openrail-m ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 gfdl gpl gpl-2.0
gpl-3.0 intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by
ofl-1.1 openrail openrail++ osl-3.0 other pddl postgresql unlicense wtfpl zlib
"""

LICENCES = frozenset(_TEXT.split())
"""All of them, without those of single models."""

_PAGE = "https://huggingface.co/docs/hub/repositories-licenses"


def check_licence(licence: str | None) -> str:
    """Return a licence; raise UserError if none is given, or one that the hub does not know.

    A licence is its author's choice, so there is no default.
    """
    if licence is None:
        raise UserError(
            "a card names a licence, which only you can choose: pass --licence, with "
            f"{', '.join(COMMON)} or another name of {_PAGE}"
        )
    if licence not in LICENCES:
        raise UserError(
            f"--licence {licence}: the hub has no such licence{did_you_mean(licence.lower(), LICENCES)}; "
            f"choose {', '.join(COMMON)} or another name of {_PAGE}"
        )
    return licence
