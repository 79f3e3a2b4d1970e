"""Names of persons and addresses: by a table of surnames, by the parts of an address. Evidence about an item, never about one value."""

import tomllib
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_DOT = "[·•・‧∙●⋅]"
_NAME = "\\A\\p{Han}{2,4}\\z"
_NAME_WITH_DOT = f"\\A\\p{{Han}}{{1,12}}({_DOT}\\p{{Han}}{{1,12}}){{1,4}}\\z"
_AREA = "(省|自治区|市|自治州|州|地区|盟|区|县|旗|乡|镇|街道|村|社区|开发区)"
_SPOT = "(路|街|巷|弄|胡同|里|大道|道|号|栋|幢|座|单元|室|楼|层|组|屯|寨|坝|坡|湾|村|社区|小区|园|苑|院|[0-9]队|收)"
_ADDRESS = (
    f"\\p{{Han}}{_AREA}.*\\S{_SPOT}|"
    "\\p{Han}{2}(路|街|巷|大道|弄|胡同|村|小区)[^省]*[0-9一二三四五六七八九十]+(号|弄|栋|幢|组|室|单元)"
)
_ORGANISATION = "(公司|集团|银行|局|厅|委员会|中心|医院|卫生院|学校|小学|中学|大学|派出所|合作社|事务所|商行|超市|工作室|经营部)\\z"


@cache
def _surnames() -> tuple[pa.Array, pa.Array, pa.Array, str]:
    said = tomllib.loads((files(__package__) / "surnames.toml").read_text("utf-8"))
    every = sorted(set(said["common"]) | set(said["single"]))
    return pa.array(sorted(said["common"])), pa.array(every), pa.array(said["double"]), f"[{said['not_names']}]\\z"


def person_names(values: pa.StringArray) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which values could be a person's name; which of them begin with one of the most common surnames; which bear a dot, as many
    names of minorities do."""
    common, single, double, no_name = _surnames()
    first = pc.utf8_slice_codeunits(values, 0, 1)
    lengths = pc.utf8_length(values)
    chinese = pc.match_substring_regex(values, _NAME)
    word = pc.and_(pc.match_substring_regex(values, no_name), pc.greater(lengths, 2))
    two = pc.is_in(pc.utf8_slice_codeunits(values, 0, 2), double)
    three = pc.is_in(pc.utf8_slice_codeunits(values, 0, 3), double)
    one = pc.and_(pc.is_in(first, single), pc.less_equal(lengths, 3))
    # four characters: a double surname with a given name of two, or two single surnames joined (married names, double-barrelled)
    joined = pc.and_(pc.is_in(first, common), pc.is_in(pc.utf8_slice_codeunits(values, 1, 2), common))
    longer = pc.and_(pc.greater(lengths, 2), pc.or_(two, three))
    plain = pc.and_(pc.and_not(chinese, word), pc.or_(pc.or_(one, longer), joined))
    dotted = pc.match_substring_regex(values, _NAME_WITH_DOT)
    return (
        _flags(pc.or_(plain, dotted)),
        _flags(pc.and_(plain, pc.or_(pc.is_in(first, common), two))),
        _flags(dotted),
    )


def addresses(values: pa.StringArray) -> npt.NDArray[np.bool_]:
    """Which values look like an address: an area and a spot in it, and no organisation's name."""
    looks = pc.match_substring_regex(values, _ADDRESS)
    return _flags(pc.and_not(looks, pc.match_substring_regex(values, _ORGANISATION)))


def _flags(found: pa.BooleanArray) -> npt.NDArray[np.bool_]:
    flags: npt.NDArray[np.bool_] = found.to_numpy(zero_copy_only=False)
    return flags
