"""Mistakes that both type checkers must find: each marked line has an error, and no other line has one."""

from __future__ import annotations

from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.client_session import ClientSession

from mongoq import AsyncQueue, Queue, Task


def blocking(queue: Queue, task: Task, session: ClientSession, awaited: AsyncClientSession) -> None:
    Queue(AsyncMongoClient())  # error: argument
    Queue(namespce="mail")  # error: option
    Queue(lease="30 s")  # error: argument
    queue.new({"user": 42}, priorty=5)  # error: option
    queue.new({"user": 42}, priority="high")  # error: argument
    queue.new(["user", 42])  # error: argument
    queue.new({"user": 42}, session=awaited)  # error: argument
    queue.new_many([{"user": 42}], session=awaited)  # error: argument
    queue.load([{"user": 42}], session=awaited)  # error: argument
    queue.modify(delete=[task], session=awaited)  # error: argument
    queue.new_many({"user": 42})  # error: argument
    queue.load([{"user": 42}]).key  # error: attribute
    queue.claim().key  # error: none
    queue.claim(timeout="soon")  # error: argument
    queue.claim_many()  # error: option
    queue.wait(task).result  # error: none
    queue.complete("key")  # error: argument
    queue.retry([task], "again")  # error: argument
    queue.rum(print)  # error: attribute
    queue.run(3)  # error: argument
    queue.run(print, executor=4)  # error: argument
    with queue.keepalive(task) as kept:
        kept.chek()  # error: attribute
    with queue.transaction(task, sesion=session):  # error: option
        pass
    queue.submit({"user": 42}, priorty=5)  # error: option
    with queue.buffer() as buffer:
        buffer.new({"user": 42}, session=session)  # error: option
    for one in queue.claims("pages"):
        one.kee  # error: attribute
    for _ in queue.tasks(state=3):  # error: argument
        pass


async def blocking_awaited(queue: Queue, task: Task) -> None:
    await queue.new({"user": 42})  # error: tempo
    async with queue.keepalive(task):  # error: tempo
        pass
    async for _ in queue.claims():  # error: tempo
        pass


async def awaited(queue: AsyncQueue, task: Task, session: AsyncClientSession, blocking: ClientSession) -> None:
    AsyncQueue(MongoClient())  # error: argument
    AsyncQueue(blocking=AsyncMongoClient())  # error: argument
    queue.new({"user": 42})  # error: await
    queue.new({"user": 42}).key  # error: attribute
    queue.complete(task)  # error: await
    made: Task = queue.new({"user": 42})  # error: result
    await queue.new({"user": 42}, priorty=5)  # error: option
    await queue.new({"user": 42}, priority="high")  # error: argument
    await queue.new({"user": 42}, session=blocking)  # error: argument
    await queue.new_many([{"user": 42}], session=blocking)  # error: argument
    await queue.load([{"user": 42}], session=blocking)  # error: argument
    await queue.modify(delete=[made], session=blocking)  # error: argument
    (await queue.claim()).key  # error: none
    for one in await queue.claim_many(3):
        one.kee  # error: attribute
    for _ in queue.claim_many(3):  # error: tempo
        pass
    with queue.keepalive(task):  # error: tempo
        pass
    with queue.transaction(task):  # error: tempo
        pass
    async with queue.transaction(task, sesion=session):  # error: option
        pass
    async with queue.buffer() as buffer:
        buffer.new({"user": 42})  # error: await
    for _ in queue.claims():  # error: tempo
        pass
    async for claimed in queue.claims(timeout="soon"):  # error: argument
        claimed.kee  # error: attribute
    with queue:  # error: tempo
        pass
    queue.close()  # error: await
