"""The page in a real browser. What is shown is read from the page, and compared with what should be drawn."""

import base64
import io
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avae.data.dataset import as_images
from avae.explore.code_map import HEIGHT, WIDTH, principal_map
from avae.explore.drawn import draw
from avae.explore.serve import serving
from avae.explore.stage import first_shown, training_picture
from avae.explore.stage import test_picture as the_test_picture

playwright = pytest.importorskip("playwright.sync_api")

HANGING = 120_000
"""Milliseconds after which a browser counts as hanging."""

REALISM, DIRECTION = "#realism input[type=range]", "#directions input[type=range]"

DROP = """([name, content]) => {
  const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
  const dropped = new DataTransfer();
  dropped.items.add(new File([bytes], name));
  const options = {dataTransfer: dropped, bubbles: true, cancelable: true};
  document.body.dispatchEvent(new DragEvent("drop", options));
}"""

PASTE = """([name, content]) => {
  const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
  const pasted = new DataTransfer();
  pasted.items.add(new File([bytes], name));
  document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: pasted}));
}"""


@pytest.fixture(scope="module")
def uploads(tmp_path_factory):
    """The folder that uploaded files lie in."""
    folder = tmp_path_factory.mktemp("uploads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        yield folder


@pytest.fixture(scope="module")
def address(explored, uploads):
    with serving(explored, "127.0.0.1", None) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    path = os.environ.get("AVAE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with playwright.sync_playwright() as running:
        if path is None and not Path(running.chromium.executable_path).exists():
            pytest.skip("no browser: apt-get install chromium, or playwright install chromium")
        browser = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visitor(browser, address):
    """A function that opens the page for another visitor; nothing may be fetched from another machine."""
    opened, asked = [], []

    def visit(width=1400):
        context = browser.new_context(viewport={"width": width, "height": 900})
        context.set_default_timeout(HANGING)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: pytest.fail(f"the page's script failed: {error}"))
        page.goto(address)
        page.wait_for_selector("#panels img")
        page.wait_for_selector("#source input[type=file]", state="attached")
        page.wait_for_function("document.readyState == 'complete'")
        opened.append(context)
        return page

    yield visit
    for context in opened:
        context.close()
    foreign = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert asked
    assert foreign == []


def sources(page, where="#panels"):
    return page.eval_on_selector_all(f"{where} img", "images => images.map(image => image.src)")


def pixels(source):
    """Return the pixels of an image's address."""
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))
    return image[..., None] if image.ndim == 2 else image


def after(page, action, where="#panels"):
    """Do something, and wait until other pictures are shown."""
    before = sources(page, where)
    action()
    page.wait_for_function(
        "([where, before]) => { const now = [...document.querySelectorAll(`${where} img`)].map(i => i.src);"
        " return now.length && (now.length != before.length || now.some((one, i) => one != before[i])); }",
        arg=[where, before],
    )


def assert_shows(page, explored, shown):
    """Compare the panels with those of a state, up to the rounding of another thread."""
    expected = draw(explored, shown)
    found = [pixels(source) for source in sources(page)]
    for panel, image in zip(expected, found, strict=True):
        assert np.abs(panel.picture.astype(int) - image).max() <= 1, panel.label
    captions = page.eval_on_selector_all("#panels figcaption", "all => all.map(one => one.textContent)")
    assert captions == [panel.label for panel in expected]


def slide(page, selector, value):
    page.eval_on_selector(
        selector,
        "(slider, value) => { slider.value = value;"
        " slider.dispatchEvent(new Event('input', {bubbles: true})); }",
        value,
    )


def encoded(image, form="PNG"):
    file = io.BytesIO()
    image.save(file, form)
    return base64.b64encode(file.getvalue()).decode()


def own_picture():
    return Image.radial_gradient("L").resize((60, 40)).convert("RGB")


def files(folder):
    """Return what is kept of uploads; of each, Gradio leaves an empty file until the server ends."""
    return [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]


@pytest.mark.parametrize("way", [DROP, PASTE], ids=["drop", "paste"])
def test_a_picture_is_taken_in_and_not_kept(visitor, explored, uploads, way):
    page = visitor()
    assert_shows(page, explored, first_shown(explored))
    after(page, lambda: page.evaluate(way, ["mine.jpg", encoded(own_picture(), "JPEG")]))
    original, decoder, generator = (pixels(source) for source in sources(page))
    expected = as_images(
        explored.model.to_items(Image.open(io.BytesIO(base64.b64decode(encoded(own_picture(), "JPEG")))))
    )[0]
    assert np.abs(original.astype(int) - expected).max() <= 1
    for found, realism in ((decoder, 0), (generator, 1)):
        drawn = as_images(explored.model.reconstruct(original[None], realism=realism))[0]
        assert np.abs(found.astype(int) - drawn).max() <= 1
    assert files(uploads) == []


def test_a_broken_file_is_refused_in_a_sentence(visitor, explored, uploads):
    page = visitor()
    page.evaluate(DROP, ["broken.png", base64.b64encode(b"\x89PNG\r\n\x1a\n and no more").decode()])
    page.wait_for_function("document.querySelector('#note').textContent.includes('broken.png')")
    assert "cannot be read as a picture" in page.inner_text("#note")
    assert "convert it to PNG or JPEG." in page.inner_text("#note")
    assert_shows(page, explored, first_shown(explored))
    assert files(uploads) == []
    after(page, lambda: page.evaluate(DROP, ["mine.png", encoded(own_picture())]))
    assert page.text_content("#note").strip() == ""


def test_sliders_and_guesses_change_the_picture(visitor, explored):
    page = visitor()
    shown = first_shown(explored)
    after(page, lambda: slide(page, REALISM, 0.4))
    assert_shows(page, explored, replace(shown, realism=0.4))
    after(page, lambda: slide(page, DIRECTION, -1.5))
    shown = replace(shown, realism=0.4, amounts=(-1.5, 0.0, 0.0))
    assert_shows(page, explored, shown)
    after(page, lambda: page.click("#guess"))
    assert_shows(page, explored, replace(shown, seed=1))
    after(page, lambda: page.check("#invented input"))
    assert pixels(sources(page)[2]).shape[-1] == 3  # colours, over a grey picture
    after(page, lambda: page.uncheck("#invented input"))
    after(page, lambda: page.click("#reset"))
    assert_shows(page, explored, replace(shown, amounts=()))
    assert page.eval_on_selector(DIRECTION, "slider => Number(slider.value)") == 0


def test_test_pictures_and_neighbours_can_be_chosen(visitor, explored):
    page = visitor()
    number = explored.offered[5]
    after(page, lambda: page.click(f"#test-pictures [data-index='{number}']"))
    shown = the_test_picture(explored, number)
    assert_shows(page, explored, shown)
    near = explored.nearest(shown.code, 4)
    found = page.eval_on_selector_all("#nearest button", "all => all.map(one => Number(one.dataset.index))")
    assert found[:4] == near
    after(page, lambda: page.click(f"#nearest [data-index='{near[3]}']"))
    assert_shows(page, explored, training_picture(explored, near[3]))
    after(page, lambda: page.click("#more-tests"), "#test-pictures")


def test_the_map_leads_to_a_training_picture(visitor, explored):
    page = visitor()
    page.get_by_role("tab", name="Map").click()
    page.wait_for_selector("#map .here")
    plane = principal_map(explored)
    number = plane.thumbnails[3]
    x, y = plane.share(number)
    box = page.locator("#map .map").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(WIDTH / HEIGHT, rel=0.02)
    spot = {"x": x * box["width"], "y": y * box["height"]}
    after(page, lambda: page.click("#map .map", position=spot))
    assert_shows(page, explored, training_picture(explored, number))
    assert page.text_content("[role=tab][aria-selected=true]").strip() == "Picture"


def test_samples_have_a_seed_and_can_be_loaded(visitor, explored):
    page = visitor()
    after(page, lambda: page.get_by_role("tab", name="Samples").click(), "#samples")
    after(page, lambda: page.fill("#sampling input", "7"), "#samples")
    drawn = as_images(explored.model.sample(5, seed=7))
    assert np.abs(pixels(sources(page, "#samples")[4]).astype(int) - drawn[4]).max() <= 1
    after(page, lambda: page.click("#samples [data-index='4']"))
    assert np.abs(pixels(sources(page)[0]).astype(int) - drawn[4]).max() <= 1


def test_a_path_can_be_downloaded(visitor, explored):
    page = visitor()
    page.get_by_role("tab", name="Path").click()
    page.wait_for_selector("#path .strip")
    with page.expect_download() as download:
        page.click("#path a.download")
    assert download.value.suggested_filename == "path.gif"
    gif = Image.open(download.value.path())
    assert gif.n_frames == 30
    page.get_by_role("tab", name="Picture").click()
    number = explored.offered[7]
    after(page, lambda: page.click(f"#test-pictures [data-index='{number}']"))
    page.get_by_role("tab", name="Path").click()
    after(page, lambda: page.click("#use-to"), "#path")
    drawn = as_images(
        explored.model.reconstruct(explored.test[[explored.offered[0], number]], keys=["0", "0"])
    )
    strip = [pixels(source).astype(int) for source in sources(page, "#path .strip")]
    assert np.abs(strip[0] - drawn[0]).max() <= 1
    assert np.abs(strip[-1] - drawn[1]).max() <= 1


def test_two_sets_of_own_pictures_make_a_direction(visitor, explored):
    page = visitor()
    page.click("#sets button")
    sets = [
        [
            {
                "name": f"{number}.png",
                "mimeType": "image/png",
                "buffer": base64.b64decode(encoded(Image.fromarray(explored.test[number, ..., 0]))),
            }
            for number in numbers
        ]
        for numbers in ((0, 1), (2, 3, 4))
    ]
    inputs = page.locator("#own-sets input[type=file]")
    inputs.nth(0).set_input_files(sets[0])
    page.wait_for_function("document.querySelector('#sets').textContent.includes('2 pictures taken')")
    after(page, lambda: inputs.nth(1).set_input_files(sets[1]))
    step = explored.model.encode(explored.test[2:5]).mean(0) - explored.model.encode(explored.test[:2]).mean(
        0
    )
    shown = first_shown(explored)
    assert_shows(page, explored, replace(shown, code=shown.code + step))
    after(page, lambda: slide(page, "#difference-amount input[type=range]", -2))
    assert_shows(page, explored, replace(shown, code=shown.code - 2 * step))


def test_two_visitors_share_nothing(visitor, explored):
    one, other = visitor(), visitor()
    number = explored.offered[2]
    after(one, lambda: one.click(f"#test-pictures [data-index='{number}']"))
    after(other, lambda: slide(other, REALISM, 0))
    after(one, lambda: slide(one, DIRECTION, 1))
    after(other, lambda: slide(other, DIRECTION, -1))
    assert_shows(one, explored, replace(the_test_picture(explored, number), amounts=(1.0, 0.0, 0.0)))
    assert_shows(other, explored, replace(first_shown(explored), realism=0.0, amounts=(-1.0, 0.0, 0.0)))


@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_is_as_wide_as_the_screen(visitor, width):
    page = visitor(width)
    for tab, there in (
        ("Picture", "#panels img"),
        ("Path", "#path img"),
        ("Map", "#map img"),
        ("Samples", "#samples img"),
    ):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_selector(there)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
        across = page.eval_on_selector("#heading", "heading => heading.getBoundingClientRect().width")
        assert across >= min(width, 1200) - 50, tab


@pytest.mark.parametrize("width", [400, 1400])
def test_small_pictures_are_enlarged_by_whole_factors(visitor, width):
    page = visitor(width)
    for across in page.eval_on_selector_all(
        "#panels img", "all => all.map(one => one.getBoundingClientRect().width)"
    ):
        assert across >= 80
        assert across % 16 == 0
