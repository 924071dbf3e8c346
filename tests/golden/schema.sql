CREATE TABLE artifact (
	sha256 VARCHAR(64) NOT NULL, 
	bytes BIGINT NOT NULL, 
	stored_ms BIGINT NOT NULL, 
	CONSTRAINT pk_artifact PRIMARY KEY (sha256)
);
CREATE TABLE audit (
	id INTEGER NOT NULL, 
	at_ms BIGINT NOT NULL, 
	actor VARCHAR(128) NOT NULL, 
	action VARCHAR(64) NOT NULL, 
	subject VARCHAR(256) NOT NULL, 
	detail TEXT NOT NULL, 
	CONSTRAINT pk_audit PRIMARY KEY (id)
);
CREATE TABLE decision (
	id INTEGER NOT NULL, 
	rollout VARCHAR(63) NOT NULL, 
	revision BIGINT NOT NULL, 
	ordinal INTEGER NOT NULL, 
	at_ms BIGINT NOT NULL, 
	action VARCHAR(32) NOT NULL, 
	detail TEXT NOT NULL, 
	CONSTRAINT pk_decision PRIMARY KEY (id), 
	CONSTRAINT fk_decision_rollout FOREIGN KEY(rollout) REFERENCES rollout (id), 
	CONSTRAINT uq_decision_rollout_revision_ordinal UNIQUE (rollout, revision, ordinal)
);
CREATE TABLE desired_model (
	device VARCHAR(63) NOT NULL, 
	model VARCHAR(63) NOT NULL, 
	version VARCHAR(64) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_desired_model PRIMARY KEY (device, model), 
	CONSTRAINT fk_desired_model_device FOREIGN KEY(device) REFERENCES device (id)
);
CREATE TABLE device (
	id VARCHAR(63) NOT NULL, 
	created_ms BIGINT NOT NULL, 
	retired_ms BIGINT, 
	tags TEXT NOT NULL, 
	reported TEXT, 
	reported_ms BIGINT, 
	applied_seq BIGINT NOT NULL, 
	online BOOLEAN NOT NULL, 
	boot_id VARCHAR(64), 
	presence_ms BIGINT, 
	last_seen_ms BIGINT, 
	CONSTRAINT pk_device PRIMARY KEY (id)
);
CREATE TABLE device_desired (
	device VARCHAR(63) NOT NULL, 
	seq BIGINT NOT NULL, 
	models TEXT NOT NULL, 
	changed_ms BIGINT NOT NULL, 
	dispatched_seq BIGINT NOT NULL, 
	document BLOB, 
	expires_ms BIGINT, 
	root_version BIGINT NOT NULL, 
	CONSTRAINT pk_device_desired PRIMARY KEY (device), 
	CONSTRAINT fk_device_desired_device FOREIGN KEY(device) REFERENCES device (id)
);
CREATE TABLE device_model (
	device VARCHAR(63) NOT NULL, 
	model VARCHAR(63) NOT NULL, 
	version VARCHAR(64), 
	sha256 VARCHAR(64), 
	state VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_device_model PRIMARY KEY (device, model), 
	CONSTRAINT fk_device_model_device FOREIGN KEY(device) REFERENCES device (id)
);
CREATE TABLE epoch (
	device VARCHAR(63) NOT NULL, 
	epoch VARCHAR(64) NOT NULL, 
	high_water BIGINT NOT NULL, 
	CONSTRAINT pk_epoch PRIMARY KEY (device, epoch)
);
CREATE TABLE event (
	id INTEGER NOT NULL, 
	device VARCHAR(63) NOT NULL, 
	time VARCHAR(40) NOT NULL, 
	received_ms BIGINT NOT NULL, 
	model VARCHAR(63) NOT NULL, 
	version VARCHAR(64) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	rollout VARCHAR(63) NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	reason TEXT, 
	detail TEXT, 
	CONSTRAINT pk_event PRIMARY KEY (id)
);
CREATE TABLE health_hour (
	model VARCHAR(63) NOT NULL, 
	version VARCHAR(64) NOT NULL, 
	hour_ms BIGINT NOT NULL, 
	reports BIGINT NOT NULL, 
	ok BIGINT NOT NULL, 
	client_error BIGINT NOT NULL, 
	server_error BIGINT NOT NULL, 
	rows BIGINT NOT NULL, 
	latency_n BIGINT NOT NULL, 
	latency_sum_us BIGINT NOT NULL, 
	CONSTRAINT pk_health_hour PRIMARY KEY (model, version, hour_ms)
);
CREATE TABLE inbox (
	device VARCHAR(63) NOT NULL, 
	epoch VARCHAR(64) NOT NULL, 
	seq BIGINT NOT NULL, 
	received_ms BIGINT NOT NULL, 
	CONSTRAINT pk_inbox PRIMARY KEY (device, epoch, seq)
);
CREATE TABLE outbox (
	device VARCHAR(63) NOT NULL, 
	since_ms BIGINT NOT NULL, 
	CONSTRAINT pk_outbox PRIMARY KEY (device)
);
CREATE TABLE release (
	model VARCHAR(63) NOT NULL, 
	version VARCHAR(64) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	bytes BIGINT NOT NULL, 
	counter BIGINT NOT NULL, 
	min_counter BIGINT NOT NULL, 
	custom TEXT NOT NULL, 
	manifest TEXT NOT NULL, 
	added_ms BIGINT NOT NULL, 
	CONSTRAINT pk_release PRIMARY KEY (model, version)
);
CREATE TABLE report (
	device VARCHAR(63) NOT NULL, 
	epoch VARCHAR(64) NOT NULL, 
	seq BIGINT NOT NULL, 
	received_ms BIGINT NOT NULL, 
	payload BLOB NOT NULL, 
	CONSTRAINT pk_report PRIMARY KEY (device, epoch, seq)
);
CREATE TABLE retained_artifact (
	sha256 VARCHAR(64) NOT NULL, 
	bytes BIGINT NOT NULL, 
	since_ms BIGINT NOT NULL, 
	CONSTRAINT pk_retained_artifact PRIMARY KEY (sha256)
);
CREATE TABLE rollout (
	id VARCHAR(63) NOT NULL, 
	model VARCHAR(63) NOT NULL, 
	version VARCHAR(64) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	"plan" TEXT NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	reason TEXT, 
	stage INTEGER NOT NULL, 
	revision BIGINT NOT NULL, 
	created_ms BIGINT NOT NULL, 
	created_by VARCHAR(128) NOT NULL, 
	changed_ms BIGINT NOT NULL, 
	CONSTRAINT pk_rollout PRIMARY KEY (id)
);
CREATE TABLE rollout_device (
	rollout VARCHAR(63) NOT NULL, 
	device VARCHAR(63) NOT NULL, 
	stage INTEGER NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	reason TEXT, 
	previous TEXT, 
	offered_ms BIGINT, 
	activated_ms BIGINT, 
	changed_ms BIGINT NOT NULL, 
	CONSTRAINT pk_rollout_device PRIMARY KEY (rollout, device), 
	CONSTRAINT fk_rollout_device_device FOREIGN KEY(device) REFERENCES device (id), 
	CONSTRAINT fk_rollout_device_rollout FOREIGN KEY(rollout) REFERENCES rollout (id)
);
CREATE TABLE rollout_stage (
	rollout VARCHAR(63) NOT NULL, 
	number INTEGER NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	since_ms BIGINT NOT NULL, 
	verdict TEXT, 
	CONSTRAINT pk_rollout_stage PRIMARY KEY (rollout, number), 
	CONSTRAINT fk_rollout_stage_rollout FOREIGN KEY(rollout) REFERENCES rollout (id)
);
CREATE TABLE set_aside (
	id INTEGER NOT NULL, 
	device VARCHAR(128) NOT NULL, 
	leaf VARCHAR(32) NOT NULL, 
	received_ms BIGINT NOT NULL, 
	reason TEXT NOT NULL, 
	head BLOB NOT NULL, 
	CONSTRAINT pk_set_aside PRIMARY KEY (id)
);
CREATE TABLE token (
	id VARCHAR(32) NOT NULL, 
	name VARCHAR(128) NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	created_ms BIGINT NOT NULL, 
	revoked_ms BIGINT, 
	CONSTRAINT pk_token PRIMARY KEY (id), 
	CONSTRAINT uq_token_hash UNIQUE (hash)
);
CREATE TABLE tuf_metadata (
	name VARCHAR(128) NOT NULL, 
	role VARCHAR(63) NOT NULL, 
	version BIGINT NOT NULL, 
	content BLOB NOT NULL, 
	stored_ms BIGINT NOT NULL, 
	CONSTRAINT pk_tuf_metadata PRIMARY KEY (name)
);
CREATE INDEX ix_desired_model_sha256 ON desired_model (sha256);
CREATE INDEX ix_device_desired_expires_ms ON device_desired (expires_ms);
CREATE INDEX ix_device_model_model_version ON device_model (model, version);
CREATE INDEX ix_event_device_id ON event (device, id);
CREATE INDEX ix_event_rollout_id ON event (rollout, id);
CREATE INDEX ix_inbox_received_ms ON inbox (received_ms);
CREATE INDEX ix_release_sha256 ON release (sha256);
CREATE INDEX ix_report_received_ms ON report (received_ms);
CREATE INDEX ix_rollout_device_device ON rollout_device (device);
CREATE INDEX ix_rollout_state ON rollout (state);
CREATE INDEX ix_tuf_metadata_role_version ON tuf_metadata (role, version);
