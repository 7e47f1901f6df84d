"""Held-out items are none of the training items, by content."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avae.data.dataset import as_tensor
from avae.data.pictures import ItemBatch
from avae.data.sources.digits import digits_data
from avae.errors import UserError
from avae.held_out import held_out_items, held_out_split, shared_rows


def batches(pictures):
    half = len(pictures) // 2
    for part in (range(half), range(half, len(pictures))):
        yield ItemBatch([f"{row}.png" for row in part], as_tensor(pictures[part.start : part.stop]))


@given(st.lists(st.integers(0, 6), max_size=12), st.lists(st.integers(0, 6), max_size=12))
@settings(max_examples=50)
def test_shared_rows_are_those_that_are_equal(items, training):
    arrays = [np.array(each, np.float32).reshape(-1, 1) for each in (items, training)]
    expected = [row for row, item in enumerate(items) if item in training]
    assert shared_rows(*arrays).tolist() == expected


def test_given_pictures_that_were_trained_on_are_counted_and_one_is_named():
    data = digits_data()
    held = held_out_items(batches(data.test[:20]), data, "--data held")
    assert held.compared
    assert np.array_equal(held.items, data.test[:20])
    assert held.names[19] == "19.png"
    mixed = np.concatenate([data.test[:7], data.train[[5, 900]], data.test[7:9]])
    with pytest.raises(UserError, match=r"--data held: 2 items of 11, as 7.png, the model was trained on"):
        held_out_items(batches(mixed), data, "--data held")
    assert not held_out_items(batches(mixed), None, "--data held").compared


def test_a_test_split_is_without_what_is_in_the_training_split_too():
    data = digits_data()
    test = np.concatenate([data.train[:2], data.test[:5]])
    held = held_out_split(replace(data, test=test))
    assert np.array_equal(held.items, data.test[:5])
    assert (held.left_out, held.compared) == (2, True)
    assert list(held.names) == ["00002", "00003", "00004", "00005", "00006"]


def test_some_are_chosen_with_their_names_always_the_same():
    held = held_out_split(digits_data())
    some = held.chosen(30)
    assert len(some.items) == len(set(some.names)) == 30
    assert all(
        np.array_equal(held.items[int(name)], item) for name, item in zip(some.names, some.items, strict=True)
    )
    assert held.chosen(30).names == some.names
    assert len(held.chosen(10**6).items) == len(held.items)
