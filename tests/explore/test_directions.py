import pytest
import torch

from avae.explore.directions import difference, directions_of_change, moved, principal_directions

ALL = torch.ones(3, dtype=torch.bool)


def test_principal_directions_are_those_codes_were_made_of(normals):
    axes = torch.linalg.qr(normals(3, 3)).Q
    scales = torch.tensor([3.0, 1.0, 0.2])
    codes = normals(5000, 3) * scales @ axes + 7
    found = principal_directions(codes, ALL)
    for direction, axis, scale in zip(found, axes, scales, strict=True):
        assert direction.step.norm() == pytest.approx(float(scale), rel=0.05)
        assert abs(float(direction.step @ axis) / float(direction.step.norm())) > 0.99
        assert direction.share == pytest.approx(float(scale**2 / (scales**2).sum()), abs=0.02)
        assert direction.step[direction.step.abs().argmax()] > 0


def test_principal_directions_leave_uninformative_dimensions_alone(normals):
    codes = normals(100, 3) * torch.tensor([1.0, 100.0, 2.0])
    found = principal_directions(codes, torch.tensor([True, False, True]))
    assert len(found) == 2
    assert all(direction.step[1] == 0 for direction in found)


def test_codes_that_do_not_vary_have_no_directions(normals):
    assert principal_directions(torch.ones(50, 3), ALL) == []
    assert principal_directions(normals(1, 3), ALL) == []
    only = principal_directions(normals(50, 1), torch.ones(1, dtype=torch.bool))
    assert [direction.share for direction in only] == [1]


def test_directions_of_change_are_those_that_items_follow(normals):
    codes = normals(2000, 3) * torch.tensor([1.0, 5.0, 1.0])
    items = torch.stack([10 * codes[:, 2], codes[:, 0]], 1)[:, None]
    first, second, *_ = directions_of_change(codes, items)
    assert first.step.abs().argmax() == 2
    assert first.step.norm() == pytest.approx(1, rel=0.1)
    assert second.step.abs().argmax() == 0
    assert first.share == pytest.approx(100 / 101, abs=0.01)


def test_a_difference_leads_from_the_mean_of_one_set_to_that_of_the_other(normals):
    of, to = normals(20, 3), normals(30, 3)
    end = moved(of.mean(0), [difference(of, to)], [1.0])
    torch.testing.assert_close(end, to.mean(0))


def test_amounts_add_up(normals):
    code, steps = normals(3), [normals(3), normals(3)]
    torch.testing.assert_close(moved(code, steps, (2.0, -0.5)), code + 2 * steps[0] - steps[1] / 2)
