-- The health of every kind of tallystick.dev, in the order of kstatus: docs/status.md.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "The controller has not reconciled this generation yet."}
end

local by_type = {}
for _, condition in ipairs(status.conditions or {}) do
  by_type[condition.type] = condition
end

local function is_true(type)
  return by_type[type] ~= nil and by_type[type].status == "True"
end

local function health(name, type)
  return {status = name, message = by_type[type].message}
end

if is_true("Stalled") then
  return health("Degraded", "Stalled")
end
if is_true("Reconciling") then
  -- Only a TokenRotation has the state Paused, and only a user changes it.
  return health(status.state == "Paused" and "Suspended" or "Progressing", "Reconciling")
end
if is_true("Ready") then
  return health("Healthy", "Ready")
end
-- An object that has ended as planned is no failure: a token that was used, a rotation that was aborted.
if is_true("Ended") then
  return health("Healthy", "Ended")
end
if by_type["Succeeded"] ~= nil then
  return health("Healthy", "Succeeded")
end
return {status = "Progressing", message = "The controller has not reported a condition yet."}
