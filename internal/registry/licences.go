package registry

import (
	"context"
	"time"

	"eid.example/idp/internal/account"
	"eid.example/idp/internal/policy"
)

// Licences is the register of driving licences and vehicles.
type Licences interface {
	// Licences returns the parts of a driver's file that the scopes need. Errors wrap
	// ErrUnavailable, ErrNoRecord, ErrMismatch or ErrMalformed.
	Licences(ctx context.Context, number account.NationalID, scopes []policy.Scope) (DriverFile, error)
}

// DriverFile is a record of the licence register. Parts that were not asked for are absent.
type DriverFile struct {
	Head
	Licences Part[[]Licence] `json:"licences"`
	Vehicles Part[[]Vehicle] `json:"vehicles"`
}

// Licence is one driving licence.
type Licence struct {
	Number    string   `json:"number"`
	Classes   []string `json:"classes"`
	Issued    string   `json:"issued"`
	Expires   *string  `json:"expires"` // nil: never
	Authority string   `json:"authority"`
	Status    string   `json:"status"` // valid, expired, withdrawn, held
	Points    *int     `json:"points"` // 0 to 12
}

// Vehicle is one registered vehicle.
type Vehicle struct {
	Plate           string `json:"plate"`
	Kind            string `json:"kind"` // car, motorcycle, truck, bus, other
	Brand           string `json:"brand"`
	Model           string `json:"model"`
	Colour          string `json:"colour"`
	ChassisNo       string `json:"chassis_no"`
	EngineNo        string `json:"engine_no"`
	FirstRegistered string `json:"first_registered"`
	Status          string `json:"status"` // active, withdrawn
}

// classes of driving licences since 1 January 2025.
var licenceClasses = []string{"A1", "A", "B1", "B", "C1", "C", "D1", "D2", "D", "BE", "C1E", "CE", "D1E", "D2E", "DE"}

type licencesHTTP struct{ *connector }

func (c licencesHTTP) Licences(ctx context.Context, number account.NationalID, scopes []policy.Scope) (DriverFile, error) {
	return ask[DriverFile](ctx, c.connector, recordOf(number, "v1/drivers/").parts(scopes, driverParts))
}

var driverParts = map[policy.Scope]string{policy.Driving: "licences", policy.Vehicle: "vehicles"}

func (f DriverFile) check(c *checks, scopes []policy.Scope) {
	c.text("name", f.Name)
	for _, scope := range scopes {
		switch driverParts[scope] {
		case "licences":
			f.checkLicences(c)
		case "vehicles":
			f.checkVehicles(c)
		}
	}
}

func (f DriverFile) checkLicences(c *checks) {
	if !present(c, "licences", f.Licences) {
		return
	}
	for _, l := range *f.Licences.Value {
		c.text("licences.number", l.Number)
		c.must(len(l.Classes) > 0, "licences.classes")
		for _, class := range l.Classes {
			c.oneOf("licences.classes", class, licenceClasses...)
		}
		c.date("licences.issued", l.Issued, day)
		c.optionalDate("licences.expires", l.Expires, day)
		c.must(l.Expires == nil || *l.Expires > l.Issued, "licences.expires")
		c.text("licences.authority", l.Authority)
		c.oneOf("licences.status", l.Status, "valid", "expired", "withdrawn", "held")
		c.must(l.Points != nil && *l.Points >= 0 && *l.Points <= 12, "licences.points")
	}
}

func (f DriverFile) checkVehicles(c *checks) {
	if !present(c, "vehicles", f.Vehicles) {
		return
	}
	for _, v := range *f.Vehicles.Value {
		c.text("vehicles.plate", v.Plate)
		c.oneOf("vehicles.kind", v.Kind, "car", "motorcycle", "truck", "bus", "other")
		c.text("vehicles.brand", v.Brand)
		c.text("vehicles.model", v.Model)
		c.text("vehicles.colour", v.Colour)
		c.text("vehicles.chassis_no", v.ChassisNo)
		c.text("vehicles.engine_no", v.EngineNo)
		c.date("vehicles.first_registered", v.FirstRegistered, day)
		c.oneOf("vehicles.status", v.Status, "active", "withdrawn")
	}
}

// release treats an empty list as "no record": there is nothing to show anybody.
func (f DriverFile) release(scope policy.Scope, _ account.Account, _ time.Time) any {
	switch {
	case scope == policy.Driving && f.Licences.Value != nil && len(*f.Licences.Value) > 0:
		return struct {
			Licences []Licence `json:"vn_driving_licences"`
		}{*f.Licences.Value}
	case scope == policy.Vehicle && f.Vehicles.Value != nil && len(*f.Vehicles.Value) > 0:
		return struct {
			Vehicles []Vehicle `json:"vn_vehicles"`
		}{*f.Vehicles.Value}
	}
	return nil
}
