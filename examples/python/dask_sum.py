# SPDX-License-Identifier: MIT
"""Dask's scheduler on a host, its workers in guests: python3 dask_sum.py vsock://:8786 WORKERS on the host, and in each guest
`dask worker vsock://2:8786 --no-nanny`. It waits for so many workers, has them compute, and ends.
"""

import asyncio
import sys

from distributed import Client, Scheduler


async def main(address, workers):
    scheme, _, host = address.partition("://")
    async with Scheduler(protocol=scheme, host=host) as scheduler, Client(scheduler.address, asynchronous=True) as client:
        print("listening on", scheduler.address, flush=True)
        await client.wait_for_workers(workers)
        squares = client.map(pow, range(100), [2] * 100)
        print("the sum is", await client.submit(sum, squares))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
