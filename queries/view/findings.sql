--! title = "What detections found, each finding in its newest state; those that others suppress are in every_finding alone"
--! reads = ["every_finding"]
select * except ("first_told") from every_finding where "status" <> 'suppressed'
