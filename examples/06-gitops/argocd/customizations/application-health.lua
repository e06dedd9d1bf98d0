-- The health of an Application, which Argo CD reports only with this script. Without it, waves of Applications do not wait.
local status = obj.status or {}
local health = status.health or {}
-- Before the first comparison, an Application without objects counts as Healthy.
if status.sync == nil or status.sync.status ~= "Synced" or health.status == nil then
  return {status = "Progressing", message = "The Application is not synced yet."}
end
return {status = health.status, message = health.message or ""}
