"""May this use happen, and why: pure functions over grants (`decide`), over masks (`default_mask`, `stricter_or_equal`) and over
grades (`huitong.policy.grading`)."""

from huitong.policy.decide import decide, fault_of_actor, fault_of_purpose
from huitong.policy.default_masks import default_mask, stricter_or_equal

__all__ = ["decide", "default_mask", "fault_of_actor", "fault_of_purpose", "stricter_or_equal"]
