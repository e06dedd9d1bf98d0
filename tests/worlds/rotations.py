"""Steps of a rotation in a `RotationWorld`: a fleet that enrolls, a rotation that starts, and devices that move."""


async def a_fleet(world, size=10, **spec):
    """Enroll devices; return their names in order."""
    world.project(**spec)
    world.enrolled(range(size))
    await world.work()
    world.count_devices()
    await world.work()
    return sorted(world.sims)


def check_in_of(world, names, *, failed=""):
    return [world.sims[name].check_in(failed=failed) for name in names]


async def check_in_one_a_second(world, names):
    for name in names:
        check_in_of(world, [name])
        await world.run(1)


async def start(world, **spec):
    """Start a rotation and let it open what it may."""
    world.rotate(**spec)
    await world.run(3)


def move(world, names):
    """Let devices get their new copies and use them."""
    check_in_of(world, names)
    check_in_of(world, names)
