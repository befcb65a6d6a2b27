"""Every built-in kind of cut, under one name, for the tests."""

from xtf.config import CutSection
from xtf.labelling.cuts.above import Above
from xtf.labelling.cuts.below import Below
from xtf.labelling.cuts.bottom_share import BottomShare
from xtf.labelling.cuts.iqr import Iqr
from xtf.labelling.cuts.multi_otsu import MultiOtsu
from xtf.labelling.cuts.never import Never
from xtf.labelling.cuts.outside import Outside
from xtf.labelling.cuts.top_share import TopShare

__all__ = ["Above", "Below", "BottomShare", "CutSection", "Iqr", "MultiOtsu", "Never", "Outside", "TopShare"]
