package registry

import (
	"context"
	"regexp"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// HealthRecords is the register of electronic health records (sổ sức khỏe điện tử).
type HealthRecords interface {
	// Record returns somebody's health record. Errors wrap ErrUnavailable, ErrNoRecord,
	// ErrMismatch or ErrMalformed.
	Record(ctx context.Context, number account.NationalID) (Patient, error)
}

// Patient is what the register keeps of one person.
type Patient struct {
	Head
	Record Part[HealthRecord] `json:"record"`
}

// HealthRecord is the record itself.
type HealthRecord struct {
	BloodGroup string   `json:"blood_group"`
	Allergies  []string `json:"allergies"`
	Visits     []Visit  `json:"visits"`
}

// Visit is one examination or stay.
type Visit struct {
	Date           string   `json:"date"`
	Facility       string   `json:"facility"`
	DiagnosisICD10 []string `json:"diagnosis_icd10"`
	Discharge      string   `json:"discharge,omitempty"`
	Prescriptions  []string `json:"prescriptions"`
}

var icd10 = regexp.MustCompile(`^[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?$`)

type healthRecordsHTTP struct{ *connector }

func (c healthRecordsHTTP) Record(ctx context.Context, number account.NationalID) (Patient, error) {
	return ask[Patient](ctx, c.connector, recordOf(number, "v1/patients/"))
}

func (p Patient) check(c *checks, _ []policy.Scope) {
	c.text("name", p.Name)
	if !present(c, "record", p.Record) {
		return
	}
	r := p.Record.Value
	c.oneOf("record.blood_group", r.BloodGroup, "A+", "A-", "B+", "B-", "AB+", "AB-", "O+", "O-")
	c.list("record.allergies", r.Allergies)
	c.must(r.Visits != nil, "record.visits")
	for _, v := range r.Visits {
		c.date("record.visits.date", v.Date, day)
		c.text("record.visits.facility", v.Facility)
		c.list("record.visits.diagnosis_icd10", v.DiagnosisICD10)
		for _, code := range v.DiagnosisICD10 {
			c.matches("record.visits.diagnosis_icd10", code, icd10)
		}
		c.optional("record.visits.discharge", v.Discharge)
		c.list("record.visits.prescriptions", v.Prescriptions)
	}
}

func (p Patient) release(policy.Scope, account.Account, time.Time) any {
	if p.Record.Value == nil {
		return nil
	}
	return struct {
		Record HealthRecord `json:"vn_health_record"`
	}{*p.Record.Value}
}
