"""The tab of samples from the model's prior."""

import gradio as gr

from avae.data.dataset import as_images
from avae.explore import html
from avae.explore.explored import Pictures
from avae.explore.shown import Shown
from avae.explore.stage import QUICK, REPORT_INDEX, SLOW, Stage, Updates, sample

COUNT = 40
"""Number of samples."""

ANY_CLASS = "any"

Samples = tuple[int, Pictures]
"""The seed of samples, and the samples."""


def samples_tab(stage: Stage, tab: gr.Tab) -> None:
    """Lay out the tab."""
    model = stage.explored.model
    samples = gr.State(None)
    with gr.Row(elem_id="sampling"):
        seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31, step=1)
        kind = gr.Dropdown(
            [ANY_CLASS, *model.classes], value=ANY_CLASS, label="Class", visible=bool(model.classes)
        )
        more = gr.Button("Draw others", variant="primary", size="md")
    gr.HTML(f'<p class="hint">Drawn from the prior {html.text(model.prior.kind)}. Click one to load it.</p>')
    drawn = gr.HTML(js_on_load=REPORT_INDEX, elem_id="samples")

    def draw_samples(seed: float | None, kind: str) -> tuple[Samples, str]:
        chosen = int(seed or 0)
        pictures = as_images(model.sample(COUNT, seed=chosen, classes=None if kind == ANY_CLASS else kind))
        return (chosen, pictures), html.thumbnails(pictures, range(COUNT), "sample")

    def choose(shown: Shown, samples: Samples, chosen: gr.EventData) -> Updates:
        seed, pictures = samples
        return stage.load(shown, sample(stage.explored, pictures[chosen.index], chosen.index, seed))

    arguments, outputs = [seed, kind], [samples, drawn]
    tab.select(draw_samples, arguments, outputs, **SLOW)
    gr.on([seed.input, kind.input], draw_samples, arguments, outputs, trigger_mode="always_last", **SLOW)
    more.click(lambda seed: (seed or 0) + 1, seed, seed, **QUICK).then(
        draw_samples, arguments, outputs, **SLOW
    )
    drawn.click(choose, [stage.shown, samples], stage.loads, **QUICK)
