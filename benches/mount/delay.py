#!/usr/bin/env python3
"""Passes connections on to a port of this machine, and what clients send so many milliseconds later.

    delay.py PORT MILLISECONDS

Prints the port where it listens. What the server sends is passed on at once: so each request takes this much longer,
and no less passes.
"""
import asyncio, sys


async def pass_on(reader, writer, delay):
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue(64)

    async def deliver():
        while (item := await queue.get()) is not None:
            due, data = item
            await asyncio.sleep(max(0, due - loop.time()))
            writer.write(data)
            await writer.drain()
        writer.close()

    delivery = asyncio.create_task(deliver())
    try:
        while data := await reader.read(1 << 18):
            await queue.put((loop.time() + delay, data))
    except ConnectionError:
        pass
    await queue.put(None)
    await asyncio.gather(delivery, return_exceptions=True)


async def main(port, delay):
    async def serve(reader, writer):
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pass_on(reader, there_writer, delay), pass_on(there_reader, writer, 0))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]) / 1000))
