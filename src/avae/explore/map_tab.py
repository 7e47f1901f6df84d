"""The tab of the map: codes of training pictures on a plane."""

from threading import Lock

import gradio as gr

from avae.explore import html
from avae.explore.code_map import CodeMap, principal_map, umap_is_installed, umap_map
from avae.explore.shown import Shown
from avae.explore.stage import QUICK, SLOW, Stage, Updates, training_picture

MAPS = {"Two principal directions": principal_map, "UMAP": umap_map}
"""How a map can be laid out, by name."""

REPORT_PLACE = """
element.addEventListener("click", event => {
  const map = event.target.closest(".map");
  if (!map) return;
  const box = map.getBoundingClientRect();
  trigger("click", {x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height});
});
"""
"""Script of the map: a click reports its place."""


def map_tab(stage: Stage, tab: gr.Tab) -> None:
    """Lay out the tab."""
    names = [name for name in MAPS if name != "UMAP" or umap_is_installed()]
    maps: dict[str, CodeMap] = {}
    making = Lock()

    def map_of(name: str) -> CodeMap:
        with making:  # one visitor makes it, the others wait for it
            if name not in maps:
                maps[name] = MAPS[name](stage.explored)
        return maps[name]

    def draw_map(shown: Shown, name: str) -> str:
        found = map_of(name)
        near = stage.explored.nearest(shown.moved_code(stage.explored), 1)[0]
        return html.code_map(found.pixels, found.share(near))

    def choose(shown: Shown, name: str, place: gr.EventData) -> Updates:
        number = map_of(name).at(float(place.x), float(place.y))
        return stage.load(shown, training_picture(stage.explored, number))

    gr.HTML(
        '<p class="hint">Every point is the code of a training picture. Click one to load it. '
        "The ring is around the one nearest to the picture shown.</p>"
    )
    layout = gr.Radio(names, value=names[0], label="Layout", visible=len(names) > 1, elem_id="layout")
    drawn = gr.HTML(js_on_load=REPORT_PLACE, elem_id="map")
    tab.select(draw_map, [stage.shown, layout], drawn, **SLOW)
    layout.input(draw_map, [stage.shown, layout], drawn, **SLOW)
    drawn.click(choose, [stage.shown, layout], stage.loads, **QUICK)
