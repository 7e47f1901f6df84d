"""Run one training job in several processes, started by torchrun; with one process, all of this does nothing.

`processes.process_group` joins the processes; `all_reduce_mean_async`, `any_rank`, `broadcast_from_rank0` and
`barrier` are the collectives that the rest of the package uses, and a broken one raises LostProcessError.
`rendezvous` gives each job fresh keys in torchrun's store. `heartbeat` ends a process if another one hangs,
which collectives do not notice. `device.pick_device` chooses a GPU for each process.
Open `processes.py` first.
"""
